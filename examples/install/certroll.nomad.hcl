# certroll as a job of Nomad (1.7 or later), by the docker driver. `nomad job
# plan certroll.nomad.hcl` shows what it would do.

variable "image" {
  type        = string
  description = "the image, at best by its digest"
  default     = "registry.example.com/certroll:v0.1.0"
}

job "certroll" {
  type = "service"

  group "certroll" {
    # One does the work; with 2 the other waits for its lease.
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

      # Not ready is no reason to restart it: Vault may be sealed.
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

      # A step that is under way is finished, or left so that the next start
      # goes on. A client's max_kill_timeout (30s) has to allow it.
      kill_timeout = "90s"

      config {
        image           = var.image
        args            = ["run", "--config", "/local/certroll.hcl"]
        ports           = ["http"]
        readonly_rootfs = true
        cap_drop        = ["all"]
        security_opt    = ["no-new-privileges"]
      }

      # The root is read-only, and `certroll audit verify` needs room for the
      # ledger's history.
      env {
        TMPDIR = "/alloc/tmp"
      }

      # Who certroll is to Vault: a token in /secrets/nomad_vault.jwt, which
      # Nomad renews and certroll reads at each login.
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

      # `nomad var put nomad/jobs/certroll git_token=... listen_token=...`;
      # certroll reads the files anew, so a change restarts nothing.
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
