import { mkdirSync, writeFileSync } from 'node:fs';
import { fastify } from 'fastify';
import openapiTS, { astToString } from 'openapi-typescript';

/*
 * Writes what the console knows of the API, from the API: types from the OpenAPI document that the server serves, the
 * schemas of the bodies that its forms make, and the names of algorithms. The program must be built.
 */
const dist = new URL('../../../dist/', import.meta.url);
const made = new URL('../generated/', import.meta.url);
const load = (path) => import(new URL(path, dist));

const { registerDocument } = await load('api/openapi.js');
const { registerRoutes } = await load('api/all-routes.js');

/** As a server with authentication serves it. Handlers are registered and never called. */
async function openApiDocument() {
  const app = fastify({ exposeHeadRoutes: false });
  app.setValidatorCompiler(() => () => true);
  app.setSerializerCompiler(() => (data) => JSON.stringify(data));
  await registerDocument(app);
  registerRoutes(app, { context: {}, authenticator: {}, sessions: {} });
  await app.ready();
  return app.swagger();
}

const document = await openApiDocument();
const bodyOf = (method, path) => {
  const operation = document.paths[path]?.[method];
  const schema = operation?.requestBody?.content['application/json']?.schema;
  if (schema === undefined) throw new Error(`${method} ${path} has no body in the document`);
  return schema;
};
const table = '/v1/vpcs/{vpc}/routing_tables/{table}';
const bodies = {
  createGateway: bodyOf('post', '/v1/vpn_gateways'),
  createConnection: bodyOf('post', '/v1/vpn_gateways/{gateway}/connections'),
  createIkePolicy: bodyOf('post', '/v1/ike_policies'),
  createIpsecPolicy: bodyOf('post', '/v1/ipsec_policies'),
  createRoute: bodyOf('post', `${table}/routes`),
};

const names = await load('crypto/names.js');
const { isWeak } = await load('crypto/strength.js');
const { nameOf } = await load('wire/ike/registry.js');

const valuesOf = (schema) => schema.enum ?? (schema.anyOf ?? []).flatMap(valuesOf).concat(schema.const ?? []);
const choicesOf = (body, group) => ({
  // Two names of one algorithm.
  encryption: valuesOf(body.properties.encryption_algorithm).filter((name) => name !== 'triple_des'),
  authentication: valuesOf(body.properties.authentication_algorithm).filter((name) => name !== 'disabled'),
  groups: valuesOf(body.properties[group])
    .map(String)
    .filter((name) => name !== 'disabled'),
});
const choices = {
  ike: choicesOf(bodies.createIkePolicy, 'dh_group'),
  ipsec: choicesOf(bodies.createIpsecPolicy, 'pfs'),
};

const encryptions = [...choices.ike.encryption, 'triple_des'];
const weak = [
  ...encryptions.filter((name) => isWeak({ kind: 'encryption', ...names.encryptionFromName(name) })),
  ...choices.ike.authentication.filter((name) =>
    isWeak({ kind: 'integrity', id: names.integrityFromName(name) }),
  ),
  ...[...choices.ike.groups, ...choices.ipsec.groups].filter((name) =>
    isWeak({ kind: 'dh', id: names.dhFromName(name) }),
  ),
];
/** What status documents call the transforms, to the names that policies have for them. */
const transforms = {
  encryption: Object.fromEntries(
    choices.ike.encryption.map((name) => {
      const { id, keyBits } = names.encryptionFromName(name);
      const shown = name === '3des' ? '3DES' : nameOf('encr', id);
      return [keyBits === 0 ? shown : `${shown}-${keyBits}`, name];
    }),
  ),
  integrity: Object.fromEntries(
    choices.ike.authentication.map((name) => [nameOf('integ', names.integrityFromName(name)), name]),
  ),
  prf: Object.fromEntries(
    choices.ike.authentication.map((name) => [`PRF_${nameOf('prf', names.prfFromName(name))}`, name]),
  ),
  group: Object.fromEntries(choices.ike.groups.map((name) => [nameOf('dh', Number(name)), name])),
};

mkdirSync(made, { recursive: true });
const types = astToString(await openapiTS(document, { immutable: true }));
writeFileSync(new URL('api.d.ts', made), types);
writeFileSync(new URL('bodies.json', made), `${JSON.stringify(bodies)}\n`);
writeFileSync(new URL('facts.json', made), `${JSON.stringify({ choices, weak, transforms })}\n`);
