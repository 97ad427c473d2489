bucket     = "pixgates-dev-state-111122223333-sa-east-1"
key        = "pixgates/dev.tfstate"
region     = "sa-east-1"
kms_key_id = "arn:aws:kms:sa-east-1:111122223333:key/11111111-1111-4111-8111-111111111111"
