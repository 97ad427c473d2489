bucket     = "pixgates-staging-state-222233334444-sa-east-1"
key        = "pixgates/staging.tfstate"
region     = "sa-east-1"
kms_key_id = "arn:aws:kms:sa-east-1:222233334444:key/22222222-2222-4222-8222-222222222222"
