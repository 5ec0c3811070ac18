# certroll as a Nomad job (1.7 or later), with the docker driver. `nomad job plan
# certroll.nomad.hcl` shows the changes without making them.

variable "image" {
  type        = string
  description = "the image, preferably by digest"
  default     = "registry.example.com/certroll:v0.1.0"
}

job "certroll" {
  type = "service"

  group "certroll" {
    # One is enough. With 2, one works and the other waits for its lease.
    count = 1

    network {
      port "http" {
        to = 9464
      }
    }

    service {
      name     = "certroll"
      port     = "http"
      provider = "nomad"

      check {
        name     = "alive"
        type     = "http"
        path     = "/healthz"
        interval = "30s"
        timeout  = "5s"
        check_restart {
          limit = 4
          grace = "1m"
        }
      }

      # Do not restart certroll if it is not ready: Vault may be sealed.
      check {
        name      = "ready"
        type      = "http"
        path      = "/readyz"
        interval  = "15s"
        timeout   = "6s"
        on_update = "ignore"
      }
    }

    restart {
      attempts = 10
      interval = "10m"
      delay    = "15s"
      mode     = "delay"
    }

    task "certroll" {
      driver = "docker"
      user   = "65532:65532"

      # certroll finishes the current step, or the next start continues it. The
      # client's max_kill_timeout (default 30s) must allow this time.
      kill_timeout = "90s"

      config {
        image           = var.image
        args            = ["run", "--config", "/local/certroll.hcl"]
        ports           = ["http"]
        readonly_rootfs = true
        cap_drop        = ["all"]
        security_opt    = ["no-new-privileges"]
      }

      # The root file system is read-only; `certroll audit verify` writes the
      # ledger's history to TMPDIR.
      env {
        TMPDIR = "/alloc/tmp"
      }

      # certroll's identity for Vault: Nomad writes and renews a token in
      # /secrets/nomad_vault.jwt, and certroll reads it at each login.
      identity {
        name = "vault"
        aud  = ["vault.io"]
        file = true
        ttl  = "1h"
      }

      template {
        destination = "local/certroll.hcl"
        data        = <<-HCL
          state_dir = "/alloc/data/certroll"

          listen            = ":9464"
          listen_token_file = "/secrets/listen-token"

          repo {
            url       = "https://git.example.com/platform/certificates.git"
            ref       = "main"
            directory = "certs"
            auth {
              username   = "certroll"
              token_file = "/secrets/git-token"
            }
          }

          vault {
            address = "https://vault.example.com:8200"
            auth "jwt" {
              mount    = "jwt-nomad"
              role     = "certroll"
              jwt_file = "/secrets/nomad_vault.jwt"
            }
          }

          trust {
            env   = []
            vault = ["secret/dns/"]
          }

          log {
            format = "json"
          }
        HCL
      }

      # Set the tokens with `nomad var put nomad/jobs/certroll git_token=@git-token
      # listen_token=@listen-token`. certroll reads changed files without a restart.
      template {
        destination = "secrets/git-token"
        data        = "{{ with nomadVar \"nomad/jobs/certroll\" }}{{ .git_token }}{{ end }}"
        change_mode = "noop"
        perms       = "0400"
        uid         = 65532
        gid         = 65532
      }

      template {
        destination = "secrets/listen-token"
        data        = "{{ with nomadVar \"nomad/jobs/certroll\" }}{{ .listen_token }}{{ end }}"
        change_mode = "noop"
        perms       = "0400"
        uid         = 65532
        gid         = 65532
      }

      resources {
        cpu        = 200
        memory     = 256
        memory_max = 1024
      }
    }
  }
}
