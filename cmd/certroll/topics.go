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

const exitCodesTopic = `Every command exits 0 where all is well and 1 after an error. These mean more:

  fmt --check       1  a file would change
  validate          1  the files have mistakes
  plan              2  with --detailed-exitcode: there is something to do
  apply             1  something failed, was left undone, or is held until a person
                       accepts it; or there was nobody to ask
  import            1  a certificate was left behind
  notify test       1  a destination did not take the message
  status            1  a certificate is failing or overdue, an endpoint does not serve
                       it, or certroll run cannot do its work
                    2  wake a person: a certificate has failed three times in a row,
                       was revoked, or its secret was deleted
                    3  neither the ledger nor certroll run could be read
  expiring          1  one of them is failing, overdue or unmanaged
  audit verify      1  the audit log is not in order
  doctor            1  it found an error, or something would be held
  probe             1  an endpoint serves something else, or nobody answers there

expiring, audit verify, doctor and probe exit 3 where they could not look, as where
Git or Vault is away or certroll.hcl has a mistake. run exits 0 after SIGTERM or
Ctrl-C.`

const environmentTopic = `These variables stand in for flags:

  CERTROLL_CONFIG      --config
  CERTROLL_CONFIG_DIR  --config-dir
  CERTROLL_LOG_LEVEL   --log-level
  NO_COLOR             --no-color, where it is not empty

These are read where certroll.hcl leaves the setting out:

  VAULT_ADDR, VAULT_NAMESPACE, VAULT_TOKEN, VAULT_CACERT, VAULT_CLIENT_CERT,
  VAULT_CLIENT_KEY, VAULT_TLS_SERVER_NAME
                       the way to Vault; VAULT_AGENT_ADDR goes before vault.address
  STATE_DIRECTORY, XDG_STATE_HOME
                       where state_dir is
  SSH_AUTH_SOCK        the agent that has the SSH key for Git

And these by single commands:

  CERTROLL_ACTOR       who accept and retry name in the audit log (default: user@host)
  GIT_AUTHOR_NAME, GIT_AUTHOR_EMAIL
                       whose commits rotate, disable, enable and init make
  COLUMNS              how wide the tables of status are
  SOURCE_DATE_EPOCH    the date on the pages of man

certroll.hcl may name more variables, each by a setting that ends in _env, and an
env() of the config repo reads those that trust.env allows.`

const settingsTopic = `certroll.hcl says where the config repo, the ledger and Vault are, and what the
config repo is trusted with. It is read from --config, else from $CERTROLL_CONFIG,
else from certroll.hcl in the current directory, else from
/etc/certroll/certroll.hcl. It holds no secret, only where one is found: in a file
(settings that end in _file) or a variable (_env). certroll init writes a first one:

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

These are its settings; docs/certroll.md has the attributes of each block:

  state_dir          what certroll keeps on this machine
  interval           how often run pulls (default "5m")
  decode_timeout     how long decoding one revision may take (default "30s")
  parallel           certificates at work at once (default 16)
  listen             the address that run serves on (default "127.0.0.1:9464")
  listen_hosts       more host names that it may be asked under
  listen_token_file, listen_token_env
                     the token that requests have to show
  repo               the config repo: url, ref, directory, auth, ...
  ledger             where status and audit log go: url, branch, signing, ...
  vault              address, mount, prefix, auth, ...
  trust              what references and addresses of the config repo may reach
  verify             whose signed commits are taken
  policy "NAME"      what files of the config repo may ask for
  issuer, dns        CAs and DNS accounts that are not in the config repo
  probe              which endpoints may be looked at, and how often
  notify "NAME"      who is notified of what
  webhook "KIND"     who may announce a push
  log                level and format

A relative path is relative to the directory of certroll.hcl. On SIGHUP run reads the
file again; state_dir, parallel, listen, repo (but for its auth and allow_rewrites),
ledger, vault and log.format need a restart. A file with a mistake changes nothing.`
