import * as Type from '../../util/json-schema.js';
import { type AnswerOf, closed, named, optional, Text, Time } from './answer-parts.js';

/** Answers about logins of the console, and about who may log in. */
const Role = Type.Enum(['viewer', 'editor']);

/** Who is logged in, and until when; without authentication there is no end. */
export const ConsoleSession = named('ConsoleSession', {
  name: Text,
  role: Role,
  by: Type.Enum(['token', 'iam', 'socket', 'console', 'none']),
  expires_at: optional(Time),
  /** The program that answers. */
  program: Text,
});
/** Where a browser logs in without a token, once. */
export const LoginLink = named('ConsoleLoginLink', { url: Text, expires_at: optional(Time) });
/** Everyone who may log in. */
export const Credentials = named('CredentialCollection', {
  auth: Type.Enum(['tokens', 'none']),
  credentials: Type.Array(
    Type.Object({ name: Text, role: Role, kind: Type.Enum(['token', 'api_key']) }, closed),
  ),
});

/** Who is logged in. */
export type ConsoleSessionAnswer = AnswerOf<typeof ConsoleSession>;
/** Where a browser logs in. */
export type LoginLinkAnswer = AnswerOf<typeof LoginLink>;
/** Everyone who may log in. */
export type CredentialsAnswer = AnswerOf<typeof Credentials>;
