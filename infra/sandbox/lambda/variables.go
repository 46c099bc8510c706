package lambda

import (
	"slices"
	"strconv"
)

// reservedVariables cannot be set by a function (developer guide, "Working with
// Lambda environment variables", "Defined runtime environment variables").
var reservedVariables = []string{
	"_HANDLER", "_X_AMZN_TRACE_ID", "AWS_DEFAULT_REGION", variableRegion, "AWS_EXECUTION_ENV",
	"AWS_LAMBDA_FUNCTION_NAME", "AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "AWS_LAMBDA_FUNCTION_VERSION",
	"AWS_LAMBDA_INITIALIZATION_TYPE", "AWS_LAMBDA_LOG_GROUP_NAME", "AWS_LAMBDA_LOG_STREAM_NAME",
	variableAccessKey, variableSecretKey, "AWS_SESSION_TOKEN", "AWS_LAMBDA_RUNTIME_API",
	"LAMBDA_TASK_ROOT", "LAMBDA_RUNTIME_DIR",
}

func reservedVariable(name string) bool { return slices.Contains(reservedVariables, name) }

// variables returns the environment of a function's process. What comes later
// counts: the defaults of Lambda, the sandbox's endpoints and credentials, the
// function's own, and those that nobody may change.
func (h *Host) variables(r *revision, environmentID string) []string {
	env := []string{
		"LANG=en_US.UTF-8", "TZ=:UTC", "PATH=/usr/local/bin:/usr/bin/:/bin:/opt/bin",
		"LD_LIBRARY_PATH=/lib64:/usr/lib64:" + r.code.dir + ":" + r.code.dir + "/lib",
		variableAccessKey + "=" + sandboxAccessKey, variableSecretKey + "=" + sandboxAccessKey,
	}
	env = append(env, h.cfg.Env...)
	if e := r.config.Environment; e != nil {
		for name, value := range e.Variables {
			env = append(env, name+"="+value)
		}
	}
	handler := ""
	if r.config.Handler != nil {
		handler = *r.config.Handler
	}
	return append(env,
		"AWS_LAMBDA_FUNCTION_NAME="+r.function.name,
		"AWS_LAMBDA_FUNCTION_MEMORY_SIZE="+strconv.Itoa(*r.config.MemorySize),
		"AWS_LAMBDA_FUNCTION_VERSION="+r.version,
		"AWS_LAMBDA_INITIALIZATION_TYPE=on-demand",
		"AWS_LAMBDA_LOG_GROUP_NAME=/aws/lambda/"+r.function.name,
		"AWS_LAMBDA_LOG_STREAM_NAME="+r.modified.UTC().Format("2006/01/02")+"/["+r.version+"]"+environmentID,
		"LAMBDA_TASK_ROOT="+r.code.dir, "LAMBDA_RUNTIME_DIR=/var/runtime", "_HANDLER="+handler,
		variableRegion+"="+h.cfg.Region, "AWS_DEFAULT_REGION="+h.cfg.Region,
	)
}
