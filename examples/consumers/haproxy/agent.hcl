# Vault Agent that logs in, and nothing else: consul-template reads the token
# it keeps fresh. vault agent -config=agent.hcl

vault {
  address = "https://vault.example.com:8200"
}

# A login with the policy ../../vault-policies/consumer.hcl and no other.
auto_auth {
  method "approle" {
    config = {
      role_id_file_path                   = "/etc/vault-agent/role-id"
      secret_id_file_path                 = "/etc/vault-agent/secret-id"
      remove_secret_id_file_after_reading = false # or a restart cannot log in
    }
  }

  sink "file" {
    config = {
      path = "/run/vault-agent/token"
      mode = 0600
    }
  }
}
