# certroll's own settings. They stand where certroll runs, not in the config
# repo; docs/certroll.md has all of them. As they are they fit a Vault dev
# server, Pebble and a BIND on this machine.

repo {
  url       = "/srv/git/certificates.git"
  ref       = "main"
  directory = "certs"
}

vault {
  address = "http://127.0.0.1:8200" # the login is VAULT_TOKEN, as there is no auth block
}

# What vault() and env() of the config repo reach.
trust {
  env   = []
  vault = ["secret/dns/"]
}

# With Let's Encrypt: directory = "letsencrypt-staging", and an email.
issuer "pebble" {
  directory               = "https://127.0.0.1:14000/dir"
  terms_of_service_agreed = true

  # By what Pebble's own server is trusted, test/certs/pebble.minica.pem of it:
  # ca_bundle = <<-PEM
  # -----BEGIN CERTIFICATE-----
  # ...
  # -----END CERTIFICATE-----
  # PEM
}

# The key is of `tsig-keygen certroll`, and the zone has
# update-policy { grant certroll zonesub TXT; };
dns "lab" {
  provider = "rfc2136"
  credentials = {
    RFC2136_NAMESERVER     = "127.0.0.1:53"
    RFC2136_TSIG_KEY       = "certroll"
    RFC2136_TSIG_ALGORITHM = "hmac-sha256" # as tsig-keygen makes it; lego's default is hmac-sha1
    RFC2136_TSIG_SECRET    = vault("secret/dns/lab", "secret")
  }
  propagation {
    nameservers = ["127.0.0.1:53"] # only for a zone that the Internet does not know
  }
}
