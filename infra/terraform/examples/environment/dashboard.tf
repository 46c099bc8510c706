module "dashboard" {
  source = "../../modules/dashboard"

  name      = var.name
  stream    = module.stream.name
  consumers = [module.profile.function.name, module.timeline.function.name, module.outbox_relay.function.name]
  tables    = concat([for table in module.table : table.name], [module.outbox.name])
  services = merge(
    { proxy = { balancer = module.public.arn_suffix, target_group = module.proxy.container.target_group_suffix } },
    { for name, service in module.entity_service : name => { balancer = module.internal.arn_suffix, target_group = service.target_group_suffix } },
  )
  apis      = { timeline = module.timeline_api.api_id }
  functions = [module.timeline_api.function.name]
}
