# consul-template on a machine where HAProxy serves the certificate "api":
# consul-template -config=consul-template.hcl

vault {
  address                = "https://vault.example.com:8200"
  vault_agent_token_file = "/run/vault-agent/token"
  renew_token            = false # the Agent does
  default_lease_duration = "1m"  # how late HAProxy is at most; 5m where nothing is said
}

# One template, one read, one file that is moved into its place: key and
# certificate cannot be of two versions.
template {
  contents             = <<-EOT
    {{- with secret "secret/data/tls/api" -}}
    {{ .Data.data.private_key }}{{ .Data.data.fullchain }}
    {{- end -}}
  EOT
  destination          = "/etc/haproxy/certs/api.pem"
  perms                = "0600"
  error_on_missing_key = true

  exec {
    command = ["systemctl", "reload-or-restart", "haproxy"]
    timeout = "30s"
  }
}
