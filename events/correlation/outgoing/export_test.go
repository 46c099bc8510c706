package outgoing

// Inject is exported for the inputs of services that nothing here links.
var Inject = inject
