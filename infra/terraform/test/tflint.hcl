# Every rule that tflint has for the language.
plugin "terraform" {
  enabled = true
  preset  = "all"
}

# Small modules have their outputs and variables where a reader looks for them,
# and their resources in files named after what they are for.
rule "terraform_standard_module_structure" {
  enabled = false
}
