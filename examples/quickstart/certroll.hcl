# certroll's own settings. Keep this file on the machine that runs certroll, not in the
# config repo. docs/certroll.md lists all settings. These are for a Vault dev server,
# Pebble and BIND on this machine.

repo {
  url       = "/srv/git/certificates.git"
  ref       = "main"
  directory = "certs"
}

vault {
  address = "http://127.0.0.1:8200" # without an auth block, certroll uses VAULT_TOKEN
}

# vault() and env() of the config repo may read these.
trust {
  env   = []
  vault = ["secret/dns/"]
}

# With Let's Encrypt: directory = "letsencrypt-staging", and an email.
issuer "pebble" {
  directory               = "https://127.0.0.1:14000/dir"
  terms_of_service_agreed = true

  # The CA of Pebble's own server, test/certs/pebble.minica.pem in its repository:
  # ca_bundle = <<-PEM
  # -----BEGIN CERTIFICATE-----
  # ...
  # -----END CERTIFICATE-----
  # PEM
}

# Create the key with `tsig-keygen certroll`, and set in the zone
# update-policy { grant certroll zonesub TXT; };
dns "lab" {
  provider = "rfc2136"
  credentials = {
    RFC2136_NAMESERVER     = "127.0.0.1:53"
    RFC2136_TSIG_KEY       = "certroll"
    RFC2136_TSIG_ALGORITHM = "hmac-sha256" # the default of tsig-keygen; lego's default is hmac-sha1
    RFC2136_TSIG_SECRET    = vault("secret/dns/lab", "secret")
  }
  propagation {
    nameservers = ["127.0.0.1:53"] # only for a zone that is not on the Internet
  }
}
