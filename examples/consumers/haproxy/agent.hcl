# Vault Agent only logs in and renews the token; consul-template reads the token from
# the sink. Run vault agent -config=agent.hcl

vault {
  address = "https://vault.example.com:8200"
}

# The login's only policy is ../../vault-policies/consumer.hcl.
auto_auth {
  method "approle" {
    config = {
      role_id_file_path                   = "/etc/vault-agent/role-id"
      secret_id_file_path                 = "/etc/vault-agent/secret-id"
      remove_secret_id_file_after_reading = false # else a restarted Agent cannot log in
    }
  }

  sink "file" {
    config = {
      path = "/run/vault-agent/token"
      mode = 0600
    }
  }
}
