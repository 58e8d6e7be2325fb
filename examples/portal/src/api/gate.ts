import { createApi, type BaseQueryFn } from '@reduxjs/toolkit/query/react';
import type { ThunkDeps } from '../store';
import { problemOf, type Problem } from './problem';

export interface StoredFile {
  name: string;
  size: number;
  content_type: string;
  /** RFC 3339. */
  modified: string;
}

/** Times in Unix seconds. */
export interface Session {
  session_id: string;
  client_id: string;
  device: string;
  address: string;
  started_at: number;
  used_at: number;
  expires_at: number;
  current: boolean;
}

export interface SecondFactor {
  policy: 'off' | 'optional' | 'required';
  totp: boolean;
  /** How many are left. */
  recovery_codes: number;
}

interface Args {
  method?: string;
  path: string;
  json?: unknown;
}

/** Every endpoint goes through the one call that knows tokens; RTK Query keeps and shares what came back. */
const throughTheGateway: BaseQueryFn<Args, unknown, Problem> = async ({ method = 'GET', path, json }, { extra, signal }) => {
  try {
    const reply = await (extra as ThunkDeps).call({ method, path, json, signal });
    return { data: reply.status === 204 ? null : await reply.json() };
  } catch (error) {
    return { error: problemOf(error) };
  }
};

export const filePath = (name: string) => `/api/storage/files/${encodeURIComponent(name)}`;

export const gate = createApi({
  reducerPath: 'gate',
  baseQuery: throughTheGateway,
  tagTypes: ['Files', 'Sessions', 'SecondFactor'],
  endpoints: (build) => ({
    files: build.query<StoredFile[], void>({ query: () => ({ path: '/api/storage/files' }), providesTags: ['Files'] }),
    deleteFile: build.mutation<null, string>({ query: (name) => ({ method: 'DELETE', path: filePath(name) }), invalidatesTags: ['Files'] }),
    sessions: build.query<Session[], void>({ query: () => ({ path: '/auth/v1/sessions' }), providesTags: ['Sessions'] }),
    endSession: build.mutation<null, string>({
      query: (id) => ({ method: 'DELETE', path: `/auth/v1/sessions/${encodeURIComponent(id)}` }),
      invalidatesTags: ['Sessions'],
    }),
    secondFactor: build.query<SecondFactor, void>({ query: () => ({ path: '/auth/v1/mfa' }), providesTags: ['SecondFactor'] }),
    me: build.query<Record<string, unknown>, void>({ query: () => ({ path: '/auth/v1/userinfo' }) }),
  }),
});

export const { useFilesQuery, useDeleteFileMutation, useSessionsQuery, useEndSessionMutation, useMeQuery, useSecondFactorQuery } = gate;
