# For a program that takes key and certificate from two files: a directory for
# each version, and a link that is moved from one to the next in one step.
# vault agent -config=../nginx/agent.hcl -config=agent.hcl

template {
  contents             = <<-EOT
    {{- with secret "secret/data/tls/api" -}}
    {{- $version := printf "v%v" .Data.metadata.version -}}
    {{- .Data.data.fullchain | writeToFile (printf "/etc/postgresql/tls/%s/cert.pem" $version) "" "" "0644" -}}
    {{- .Data.data.private_key | writeToFile (printf "/etc/postgresql/tls/%s/key.pem" $version) "" "" "0600" -}}
    {{ $version }}
    {{- end -}}
  EOT
  destination          = "/etc/postgresql/tls/version"
  error_on_missing_key = true

  exec {
    command = ["sh", "-c", <<-EOT
      cd /etc/postgresql/tls &&
      ln -sfn "$(cat version)" next && mv -T next current &&
      systemctl reload-or-restart postgresql
    EOT
    ]
    timeout = "30s"
  }
}
