/** Choices of `--log-level`: those of telemetry/log.ts, which is loaded only when a command logs. */
export const LOG_LEVELS = ['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'] as const;
