# For `certroll doctor`, beside plan.hcl: the credentials of the DNS accounts, and
# the documents of the ACME accounts, with each account's URL, terms of service and
# key. Give this policy only to those who may have these keys and credentials.
# Names: the KV v2 mount "secret", certroll's own state below "certroll".

path "secret/data/dns/*" {
  capabilities = ["read"]
}

path "secret/data/certroll/accounts/*" {
  capabilities = ["read"]
}

# The token's own rights; Vault's policy "default" grants this to every token.
path "sys/capabilities-self" {
  capabilities = ["update"]
}
