# Vault Agent on a machine where nginx serves the certificate "api". Run
# vault agent -config=agent.hcl

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
}

template_config {
  static_secret_render_interval = "1m" # the time between two polls; default: 5m
  exit_on_retry_failure         = true # a failed reload ends the Agent, so that you notice it
}

# One template, one read, and one file that the Agent moves into place: key and
# certificate are always of the same version.
template {
  contents             = <<-EOT
    {{- with secret "secret/data/tls/api" -}}
    {{ .Data.data.private_key }}{{ .Data.data.fullchain }}
    {{- end -}}
  EOT
  destination          = "/etc/nginx/tls/api.pem"
  perms                = "0600"
  error_on_missing_key = true

  exec {
    command = ["systemctl", "reload-or-restart", "nginx"]
    timeout = "30s"
  }
}
