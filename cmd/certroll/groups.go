package main

import (
	"context"
	"sync"

	"github.com/spf13/cobra"

	"certroll/cmd/certroll/ask"
	"certroll/cmd/certroll/edits"
	"certroll/cmd/certroll/manual"
	"certroll/cmd/certroll/setup"
	"certroll/reconcile/doctor"
)

// unsorted keeps the order of addCommands: that of use. The setting is cobra's global, and
// tests run several programs at once.
var unsorted = sync.OnceFunc(func() { cobra.EnableCommandSorting = false })

// addCommands adds the commands, grouped by task.
func (a *app) addCommands(root *cobra.Command) {
	unsorted()
	first := &setup.Init{Console: &a.Console, Redact: &a.redact, ConfigFile: &a.configFile, Doctor: func(ctx context.Context) error {
		return a.doctor(ctx, doctor.ExamineOptions{}, false)
	}}
	addGroup(root, "setup", "Set up:", first.Command(), a.importCommand(), a.validateCommand(), a.fmtCommand(), a.doctorCommand(), a.notifyCommand())
	changes := &edits.Commands{Console: &a.Console, ConfigDir: &a.configDir, LoadSettings: a.settings}
	addGroup(root, "change", "Plan and change:", a.planCommand(), a.applyCommand(), a.runCommand(), a.retryCommand(), changes.RotateCommand(),
		changes.DisableCommand(), changes.EnableCommand(), a.acceptCommand())
	asking := &ask.Commands{Console: &a.Console, LoadSettings: a.settings, Logger: a.logger}
	addGroup(root, "ask", "Inspect:", asking.StatusCommand(), asking.ExpiringCommand(), a.explainCommand(), asking.AuditCommand(), a.probeCommand())
	addGroup(root, "more", "More:", a.versionCommand(), manual.Command(a.Getenv, version(), builtAt()))
	root.SetHelpCommandGroupID("more")
	root.SetCompletionCommandGroupID("more")
	root.AddCommand(a.notifyChildCommand())
	root.AddCommand(topics()...)
}

func addGroup(root *cobra.Command, id, title string, commands ...*cobra.Command) {
	root.AddGroup(&cobra.Group{ID: id, Title: title})
	for _, c := range commands {
		c.GroupID = id
	}
	root.AddCommand(commands...)
}
