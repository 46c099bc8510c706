module "dashboard" {
  source = "../../modules/dashboard"

  name   = var.name
  stream = module.stream.name
  consumers = concat(
    [module.profile.function.name, module.timeline.function.name, module.recommendations.function.name, module.archive.function.name],
    module.notifications[*].function.name,
    [module.outbox_relay.function.name],
  )
  tables = concat([for table in module.table : table.name], [module.outbox.name])
  services = merge(
    { proxy = { balancer = module.public.arn_suffix, target_group = module.proxy.container.target_group_suffix } },
    { for name, service in module.entity_service : name => { balancer = module.internal.arn_suffix, target_group = service.target_group_suffix } },
  )
  apis = merge({ timeline = module.timeline_api.api_id, recommendations = module.recommendations_api.api_id }, { for api in module.search_api : "search" => api.api_id })
  functions = concat(
    [module.timeline_api.function.name, module.recommendations_api.function.name, module.recommend_sweep.function.name],
    concat(module.search_api, module.notify_due)[*].function.name,
    concat(module.search_indexer, module.warehouse)[*].name,
  )
}
