// Package setup is certroll init: it asks for what is missing, makes the first files, and
// writes them to this machine, the config repo and Vault.
//
// It owns the order of these steps: all answers are checked and all files decoded before
// anything is written, and what is there already stays as it is. The texts of the files
// are made by package initialize.
//
// It asks for no secret, only where one is.
package setup
