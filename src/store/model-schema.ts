import Type, { type TSchema } from 'typebox';

/** A schema for every field of a model: one that is added to the model cannot be forgotten. */
export type FieldsOf<T> = { readonly [K in keyof T]-?: TSchema };

/** The schema of a model in JSON; unknown fields are refused. */
export function modelOf<T>(fields: FieldsOf<T>) {
  return Type.Object(fields as FieldsOf<T> & Record<string, TSchema>, { additionalProperties: false });
}
