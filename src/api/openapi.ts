import swagger from '@fastify/swagger';
import type { FastifyInstance } from 'fastify';
import { programLicense, programVersion } from '../telemetry/program.js';
import { ANSWERS } from './schemas/answers.js';

/** Lets the OpenAPI document be made of the routes that are registered after this, with the schemas they refer to. */
export async function registerDocument(app: FastifyInstance): Promise<void> {
  await app.register(swagger, {
    openapi: {
      openapi: '3.1.0',
      info: {
        title: 'Culvert VPN API',
        version: programVersion,
        license: { name: 'Apache License 2.0', identifier: programLicense },
      },
      components: { securitySchemes: { bearer: { type: 'http', scheme: 'bearer' } } },
      security: [{ bearer: [] }],
    },
    refResolver: {
      buildLocalReference: (json, _base, _fragment, index) => String(json.$id ?? `def-${index}`),
    },
  });
  for (const schema of ANSWERS) app.addSchema(schema);
}
