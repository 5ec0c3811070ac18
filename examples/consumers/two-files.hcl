# A template for a program that reads key and certificate from two files. Each pair
# gets its own directory, and one step moves the link "current" to the new one. Run
# vault agent -config=nginx/agent.hcl -config=two-files.hcl

template {
  # Do not use writeToFile: it runs with each poll of Vault, and empties the files
  # in use before it writes the same content.
  contents             = <<-EOT
    {{- with secret "secret/data/tls/api" -}}
    {{ printf "v%v\n" .Data.metadata.version }}{{ .Data.data.private_key }}{{ .Data.data.fullchain }}
    {{- end -}}
  EOT
  destination          = "/etc/postgresql/tls/pair.pem"
  perms                = "0600"
  error_on_missing_key = true

  # The owner of the directory becomes the owner of the files.
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
