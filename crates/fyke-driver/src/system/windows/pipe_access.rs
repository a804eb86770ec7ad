//! Who may connect to a pipe.

#![allow(unsafe_code, reason = "access lists have no safe interface")]

use std::os::windows::io::RawHandle;

use windows_sys::Win32::Foundation::{ERROR_SUCCESS, GENERIC_READ, GENERIC_WRITE, LocalFree};
use windows_sys::Win32::Security::Authorization::{
    EXPLICIT_ACCESS_W, GetSecurityInfo, SE_KERNEL_OBJECT, SET_ACCESS, SetEntriesInAclW,
    SetSecurityInfo, TRUSTEE_IS_SID, TRUSTEE_IS_WELL_KNOWN_GROUP, TRUSTEE_W,
};
use windows_sys::Win32::Security::{
    ACL, CreateWellKnownSid, DACL_SECURITY_INFORMATION, NO_INHERITANCE, PSECURITY_DESCRIPTOR,
    SECURITY_MAX_SID_SIZE, WinWorldSid,
};
use windows_sys::Win32::Storage::FileSystem::{
    FILE_READ_ATTRIBUTES, FILE_WRITE_ATTRIBUTES, SYNCHRONIZE,
};

use super::Errno;

/// Memory that the system has allocated for us.
struct Local<T>(*mut T);

impl<T> Drop for Local<T> {
    fn drop(&mut self) {
        // SAFETY: the memory is from a call that says to free it like this, and nothing uses it any more. Null
        // is allowed.
        unsafe { LocalFree(self.0.cast()) };
    }
}

/// Adds what everybody may do to the access list of a pipe.
pub(super) fn let_everybody(pipe: RawHandle, read: bool, write: bool) -> Result<(), Errno> {
    let mut rights = SYNCHRONIZE;
    if read {
        rights |= GENERIC_READ | FILE_WRITE_ATTRIBUTES;
    }
    if write {
        rights |= GENERIC_WRITE | FILE_READ_ATTRIBUTES;
    }
    let mut everybody = [0_u8; SECURITY_MAX_SID_SIZE as usize];
    let mut len = SECURITY_MAX_SID_SIZE;
    // SAFETY: the call writes at most `len` bytes to `everybody`, which is as large as the largest id.
    let made = unsafe {
        CreateWellKnownSid(
            WinWorldSid,
            std::ptr::null_mut(),
            everybody.as_mut_ptr().cast(),
            &raw mut len,
        )
    };
    if made == 0 {
        return Err(Errno::last());
    }
    let mut old: *mut ACL = std::ptr::null_mut();
    let mut descriptor = Local::<core::ffi::c_void>(std::ptr::null_mut());
    // SAFETY: the handle is borrowed. The call writes two pointers: to memory that we have to free, and into it.
    let found = unsafe {
        GetSecurityInfo(
            pipe,
            SE_KERNEL_OBJECT,
            DACL_SECURITY_INFORMATION,
            std::ptr::null_mut(),
            std::ptr::null_mut(),
            &raw mut old,
            std::ptr::null_mut(),
            (&raw mut descriptor.0).cast::<PSECURITY_DESCRIPTOR>(),
        )
    };
    succeeded(found)?;
    let entry = EXPLICIT_ACCESS_W {
        grfAccessPermissions: rights,
        grfAccessMode: SET_ACCESS,
        grfInheritance: NO_INHERITANCE,
        Trustee: TRUSTEE_W {
            TrusteeForm: TRUSTEE_IS_SID,
            TrusteeType: TRUSTEE_IS_WELL_KNOWN_GROUP,
            // With `TRUSTEE_IS_SID`, this is the id.
            ptstrName: everybody.as_mut_ptr().cast(),
            ..TRUSTEE_W::default()
        },
    };
    let mut new = Local::<ACL>(std::ptr::null_mut());
    // SAFETY: there is one entry. `old` is null or lies in the memory of `descriptor`, which lives on. The call
    // writes a pointer to memory that we have to free.
    succeeded(unsafe { SetEntriesInAclW(1, &raw const entry, old, &raw mut new.0) })?;
    // SAFETY: the handle is borrowed, and the list lives through the call, which copies it.
    succeeded(unsafe {
        SetSecurityInfo(
            pipe,
            SE_KERNEL_OBJECT,
            DACL_SECURITY_INFORMATION,
            std::ptr::null_mut(),
            std::ptr::null_mut(),
            new.0,
            std::ptr::null(),
        )
    })
}

fn succeeded(result: u32) -> Result<(), Errno> {
    if result == ERROR_SUCCESS { Ok(()) } else { Err(result.into()) }
}
