output "address" {
  description = "What the name that mobile clients call has to point to."
  value       = module.public.url
}

output "timeline_address" {
  description = "Where the timeline answers the proxy, and whoever has a token: /v1/timelines/{userId}."
  value       = module.timeline_api.url
}

output "recommendations_address" {
  description = "Where recommendations are answered to whoever has a token: /v1/recommendations/{userId}."
  value       = module.recommendations_api.url
}

output "search_address" {
  description = "Where search is answered to whoever has a token: /v1/search?q=. null without search."
  value       = one(module.search_api[*].url)
}

output "services_address" {
  description = "Where users, relationships and posts answer inside of the network: the monolith's USERS_URL, RELATIONSHIPS_URL and POSTS_URL."
  value       = module.internal.url
}

output "stream" {
  description = "Name of the stream."
  value       = module.stream.name
}

output "consumer" {
  description = "The consumer of profiles, for tests of what was made."
  value       = module.profile
}
