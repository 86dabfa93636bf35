/** The same with fields that can be assigned, for who makes it field by field. */
export type Writable<T> = { -readonly [Field in keyof T]: T[Field] };
