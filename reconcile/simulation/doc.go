// Package simulation has no code, only tests: years of thousands of renewals against a
// simulated CA with the limits and the manners of real ones, on a simulated clock
// (testing/synctest). They hold what no single test can: how many orders a renewal takes,
// that no limit is met, and that nothing expires while there is time to renew it.
package simulation
