# For `certroll import`. Without "update", Vault rejects a write over an existing
# secret. `import vault` needs "read" and "list" at the paths of the existing
# certificates, too.

path "secret/data/tls/*" {
  capabilities = ["create", "read"]
}

path "secret/metadata/tls/*" {
  capabilities = ["read", "list"]
}
