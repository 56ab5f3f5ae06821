//! Nothing: SQLCipher calls libcrypto from C. What is linked is made by this crate's build script.
