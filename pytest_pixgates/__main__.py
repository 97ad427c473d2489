"""`python -m pytest_pixgates` is `pixgates`, for where the script isn't on PATH."""

import sys

from pytest_pixgates.cli.main import main

sys.exit(main())
