# For `certroll audit verify --anchor`: the checkpoint of the ledger. Only those who
# may push to the ledger should not have it.
# Names: the KV v2 mount "secret", certroll's own state below "certroll".

path "secret/data/certroll/anchor/*" {
  capabilities = ["read"]
}

path "secret/metadata/certroll/anchor/*" {
  capabilities = ["read"]
}
