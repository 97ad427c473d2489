"""The fraud-detection pipeline for Pix payments that the gates of this repository judge."""
