bucket     = "pixgates-prod-state-333344445555-sa-east-1"
key        = "pixgates/prod.tfstate"
region     = "sa-east-1"
kms_key_id = "arn:aws:kms:sa-east-1:333344445555:key/33333333-3333-4333-8333-333333333333"
