const { defineConfig } = require("@medusajs/framework/utils")

// Medusa's defaults, among them a lock that holds inside one process only.
const here = "http://127.0.0.1"
const secret = "for-tests-only"

module.exports = defineConfig({
  admin: { disable: true },
  projectConfig: {
    databaseUrl: process.env.DATABASE_URL,
    databaseDriverOptions: { pool: { min: 2, max: 20 } },
    http: {
      storeCors: here, adminCors: here, authCors: here, jwtSecret: secret, cookieSecret: secret,
    },
  },
})
