# For `certroll import`: without "update" Vault itself refuses to write over
# what is there. `import vault` needs "read" and "list" where the pairs are.

path "secret/data/tls/*" {
  capabilities = ["create", "read"]
}

path "secret/metadata/tls/*" {
  capabilities = ["read", "list"]
}
