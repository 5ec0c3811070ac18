package main

import "github.com/spf13/cobra"

// topics are help pages that are not about a command.
func topics() []*cobra.Command {
	return []*cobra.Command{
		{Use: "certroll.hcl", Short: "The settings of certroll itself", Long: settingsTopic},
		{Use: "environment", Short: "The environment variables that certroll reads", Long: environmentTopic},
		{Use: "exit-codes", Short: "What the exit codes of each command mean", Long: exitCodesTopic},
	}
}

const exitCodesTopic = `Every command exits 0 on success and 1 after an error. These commands have further
meanings or codes:

  fmt --check       1  a file would change
  validate          1  the files have mistakes
  plan              2  with --detailed-exitcode: there is something to do
  apply             1  an action failed, was left undone, or waits until a person
                       accepts it; or nobody could approve the plan
  import            1  a certificate was left behind
  notify test       1  a destination did not accept the message
  status            1  a certificate is failing or overdue, an endpoint does not serve
                       it, or certroll run cannot do its work
                    2  a person must act now: a certificate failed three times in a
                       row, was revoked, or its secret was deleted
                    3  neither the ledger nor certroll run could be read, or the
                       ledger has no record of NAME
  expiring          1  an expiring certificate is failing, overdue or unmanaged
  audit verify      1  the audit log has findings
  doctor            1  it found an error, or a certificate would be held
  probe             1  an endpoint serves another certificate, or does not answer

status, expiring, audit verify, doctor and probe exit 3 if they could not check, as
when Git or Vault is unreachable or certroll.hcl has a mistake. run exits 0 after
SIGTERM or Ctrl-C.`

const environmentTopic = `These variables set the defaults of flags:

  CERTROLL_CONFIG      --config
  CERTROLL_CONFIG_DIR  --config-dir
  CERTROLL_LOG_LEVEL   --log-level
  NO_COLOR             --no-color, unless it is empty

certroll reads these if certroll.hcl does not have the setting:

  VAULT_ADDR, VAULT_NAMESPACE, VAULT_TOKEN, VAULT_CACERT, VAULT_CLIENT_CERT,
  VAULT_CLIENT_KEY, VAULT_TLS_SERVER_NAME
                       the connection to Vault; VAULT_AGENT_ADDR overrides
                       vault.address
  STATE_DIRECTORY, XDG_STATE_HOME
                       the place of state_dir
  SSH_AUTH_SOCK        the agent with the SSH key for Git

Single commands read these:

  CERTROLL_ACTOR       your name in the events of accept, audit accept, retry and
                       apply (default: user@host)
  GIT_AUTHOR_NAME, GIT_AUTHOR_EMAIL
                       the author of the commits by rotate, disable, enable and init
  COLUMNS              the width of status's tables
  SOURCE_DATE_EPOCH    the date on the man pages that man writes

certroll.hcl may name more variables, in settings that end in _env. The config
repo's env() reads the variables that trust.env allows.`

const settingsTopic = `certroll.hcl names the config repo, the ledger and Vault, and limits what the config
repo may use. certroll reads the first of: the file of --config or $CERTROLL_CONFIG;
certroll.hcl in the current directory; /etc/certroll/certroll.hcl. The file contains
no secret, only its place: a file (settings that end in _file) or a variable (_env).
certroll init creates a first one:

  repo {
    url = "https://git.example.com/platform/certificates.git"
    auth {
      username   = "certroll"
      token_file = "/run/secrets/git-token"
    }
  }

  vault {
    address = "https://vault.example.com:8200"
    auth "approle" {
      role_id        = "6a1f..."
      secret_id_file = "/run/secrets/secret-id"
    }
  }

  trust {
    vault = ["secret/dns/"]
  }

Its settings are below; docs/certroll.md has the attributes of each block:

  state_dir          certroll's directory on this machine
  interval           how often run pulls (default "5m")
  decode_timeout     how long decoding one revision may take (default "30s")
  parallel           certificates at work at once (default 16)
  listen             the address that run serves on (default "127.0.0.1:9464")
  listen_hosts       more host names that requests may use
  listen_token_file, listen_token_env
                     the token that requests need
  repo               the config repo: url, ref, directory, auth, ...
  ledger             the place of records and audit log: url, branch, signing, ...
  vault              address, mount, prefix, auth, ...
  trust              credentials and servers that the config repo may use
  verify             keys whose signed commits certroll accepts
  policy "NAME"      names, paths and blocks that files of the config repo may use
  issuer, dns        CAs and DNS accounts that are not in the config repo
  probe              endpoints that certroll may probe, and how often
  notify "NAME"      a destination of notifications, and their kinds
  webhook "KIND"     a Git host that may announce a push
  log                level and format

A relative path is relative to the directory of certroll.hcl. On SIGHUP run reads the
file again; state_dir, parallel, listen, repo (except its auth and allow_rewrites),
ledger, vault and log.format need a restart. A file with a mistake changes nothing.`
