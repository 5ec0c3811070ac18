# For `certroll doctor`, beside plan.hcl: the credentials of the DNS accounts, and
# the URLs of the ACME accounts, which doctor reads only if a CAA record names one.
# The account keys are in the same documents: give this policy to nobody who may
# not have those keys.
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
