# Vault Agent on a machine where nginx serves the certificate "api":
# vault agent -config=agent.hcl

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
}

template_config {
  static_secret_render_interval = "1m" # how late nginx is at most; 5m where nothing is said
  exit_on_retry_failure         = true # a reload that failed ends the Agent, so that it is seen
}

# One template, one read, one file that is moved into its place: key and
# certificate cannot be of two versions.
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
