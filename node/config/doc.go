// Package config is what an operator tells a node: one struct, filled from defaults, a
// YAML file, MAILLE_* variables and flags, each over the one before.
//
// One table names every setting, so that the file, the variables, the flags, their help
// and the sample file cannot disagree. A mistake is answered with its place, the line
// as it stands there, and what to write instead; secrets are never repeated.
package config
