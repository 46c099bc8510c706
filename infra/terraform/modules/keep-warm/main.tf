# Pings that keep environments of functions ready. Where a first answer must never
# be slow, use provisioned concurrency (module function) instead.

module "operation" {
  source = "../operation"

  name            = var.name
  description     = "Keeps environments of functions warm."
  function        = var.function
  timeout_seconds = 60
  schedules       = { ping = { expression = "rate(5 minutes)" } }
  asynchronous    = { retries = 0, max_age_seconds = 60 } # a late ping is worthless

  environment = {
    WARM_FUNCTIONS = join(",", [for target in values(var.targets) : "${target.alias_arn}=${target.environments}"])
    WARM_HOLD      = var.hold
  }

  statements = [{
    sid       = "Ping"
    actions   = ["lambda:InvokeFunction"]
    resources = [for target in values(var.targets) : target.alias_arn]
  }]

  metric_alarms = { for key, target in var.targets : "${key}-misunderstood" => {
    metric     = "Misunderstood"
    dimensions = { Warmed = target.alias_arn }
    why        = "A function takes pings for events: wrap its handler, or take it off the list."
  } }
}
