// Package monitor compares what endpoints serve with what is live in Vault, beside the
// passes, and never holds them up.
//
// A wrong answer is no attempt's failure, and a problem only when the consumer had time to
// load the new certificate. Which certificates there were before is read off the dates and
// names of what is served, since nobody keeps a list of them for ever.
package monitor
