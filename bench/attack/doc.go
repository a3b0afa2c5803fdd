// Package attack attacks a running node while a meeting goes on that must not notice.
package attack
