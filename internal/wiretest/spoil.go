package wiretest

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"reflect"
	"unsafe"
)

// Spoil puts something into each field of the struct that p points to, unexported
// ones and those of structs in it too: what an earlier use could have left there. It
// returns the names of the fields that it cannot fill.
func Spoil(p any) (untouched []string) {
	return spoil(reflect.ValueOf(p).Elem(), "", 0)
}

// spoilDepth bounds how many pointers Spoil follows: types refer to themselves.
const spoilDepth = 1

func spoil(v reflect.Value, name string, depth int) (untouched []string) {
	v = reflect.NewAt(v.Type(), unsafe.Pointer(v.UnsafeAddr())).Elem() //nolint:gosec // unexported fields too
	switch v.Kind() {
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		v.SetInt(77)
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64, reflect.Uintptr:
		v.SetUint(77)
	case reflect.String:
		v.SetString("!!")
	case reflect.Struct:
		for i := range v.NumField() {
			untouched = append(untouched, spoil(v.Field(i), name+"."+v.Type().Field(i).Name, depth)...)
		}
	case reflect.Array:
		for i := range v.Len() {
			untouched = append(untouched, spoil(v.Index(i), name, depth)...)
		}
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 2, 2))
		for i := range 2 {
			untouched = append(untouched, spoil(v.Index(i), name, depth)...)
		}
	case reflect.Map:
		key, value := reflect.New(v.Type().Key()).Elem(), reflect.New(v.Type().Elem()).Elem()
		untouched = append(spoil(key, name, depth), spoil(value, name, depth)...)
		v.Set(reflect.MakeMap(v.Type()))
		v.SetMapIndex(key, value)
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		if depth < spoilDepth {
			_ = spoil(v.Elem(), name, depth+1)
		}
	case reflect.Func:
		v.Set(reflect.MakeFunc(v.Type(), func([]reflect.Value) []reflect.Value { panic("a spoilt func was called") }))
	case reflect.Interface:
		for _, one := range []any{context.Background(), errors.New("spoilt"), http.NoBody, httptest.NewRecorder()} {
			if value := reflect.ValueOf(one); value.Type().Implements(v.Type()) {
				v.Set(value)
				return nil
			}
		}
		untouched = append(untouched, name)
	default:
		untouched = append(untouched, name)
	}
	return untouched
}

// Left names the fields of the struct that p points to in which something is left. An
// empty map is nothing; a slice has nothing left if all of its room is zero.
func Left(p any) []string { return left(reflect.ValueOf(p).Elem(), "") }

func left(v reflect.Value, name string) (fields []string) {
	switch {
	case v.Kind() == reflect.Struct:
		for i := range v.NumField() {
			fields = append(fields, left(v.Field(i), name+"."+v.Type().Field(i).Name)...)
		}
		return fields
	case v.Kind() == reflect.Map && v.Len() == 0:
		return nil
	case v.Kind() == reflect.Slice:
		for room, i := v.Slice(0, v.Cap()), 0; i < v.Cap(); i++ {
			fields = append(fields, left(room.Index(i), name)...)
		}
		return fields
	case v.IsZero():
		return nil
	}
	return []string{name}
}
