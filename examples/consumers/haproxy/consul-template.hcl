# consul-template on a machine where HAProxy serves the certificate "api". Run
# consul-template -config=consul-template.hcl

vault {
  address                = "https://vault.example.com:8200"
  vault_agent_token_file = "/run/vault-agent/token"
  renew_token            = false # the Agent renews it
  default_lease_duration = "1m"  # the time between two polls; default: 5m
}

# One template, one read, and one file that consul-template moves into place: key and
# certificate are always of the same version.
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
