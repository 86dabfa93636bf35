/** What can be logged at least, from the most to the least. Apart from the logger, which few commands need. */
export const LOG_LEVELS = ['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'] as const;
/** One of these levels. */
export type LogLevel = (typeof LOG_LEVELS)[number];
