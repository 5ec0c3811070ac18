// Package simulation contains only tests: years of thousands of renewals against a
// simulated CA with realistic limits and misbehavior, on a simulated clock
// (testing/synctest). They check what no single test can: the number of orders per
// renewal, that no limit is exceeded, and that nothing expires while there is time to
// renew it.
package simulation
