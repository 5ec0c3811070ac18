# This block declares a certificate for each city: "shop.berlin" and "shop.lyon".
locals {
  shops = {
    berlin = { host = "laden" }
    lyon   = { host = "magasin" }
  }
}

certificate "shop" {
  for_each = local.shops
  domains  = ["${each.value.host}.shop.${local.zone}"]

  labels = {
    team = "shop"
    city = each.key
  }
}
