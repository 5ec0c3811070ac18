# For `certroll doctor`: the credentials of the DNS accounts, and the ACME
# accounts' URLs, which are asked for only where a CAA record names one. Their
# keys are in the same documents, so give this to no one who may not have them.
# Names: the KV v2 mount "secret", certroll's own state below "certroll".

path "secret/data/dns/*" {
  capabilities = ["read"]
}

path "secret/data/certroll/accounts/*" {
  capabilities = ["read"]
}

# What the token may do; Vault's own policy "default" lets every token ask.
path "sys/capabilities-self" {
  capabilities = ["update"]
}
