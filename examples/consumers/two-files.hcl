# For a program that takes key and certificate from two files: a directory for
# each pair, and a link that is moved from one to the next in one step.
# vault agent -config=nginx/agent.hcl -config=two-files.hcl

template {
  # Not writeToFile: it is run with each look at Vault, and empties the files
  # that are in use before it writes the same into them.
  contents             = <<-EOT
    {{- with secret "secret/data/tls/api" -}}
    {{ printf "v%v\n" .Data.metadata.version }}{{ .Data.data.private_key }}{{ .Data.data.fullchain }}
    {{- end -}}
  EOT
  destination          = "/etc/postgresql/tls/pair.pem"
  perms                = "0600"
  error_on_missing_key = true

  # The files belong to whom the directory belongs to.
  exec {
    command = ["sh", "-c", <<-EOT
      set -e
      cd /etc/postgresql/tls
      next=$(head -n 1 pair.pem).$(date +%s%N)
      mkdir "$next"
      sed -n '/BEGIN CERTIFICATE/,/END CERTIFICATE/p' pair.pem >"$next/cert.pem"
      (umask 077 && sed -n '/BEGIN .*PRIVATE KEY/,/END .*PRIVATE KEY/p' pair.pem >"$next/key.pem")
      chown -R --reference=. "$next"
      ln -sfn "$next" next
      mv -T next current
      systemctl reload-or-restart postgresql
    EOT
    ]
    timeout = "30s"
  }
}
