# The root of `tofu test`: each run is a plan of one module, which has to be refused
# where expect_failures says.
terraform {
  required_version = ">= 1.8"
}
